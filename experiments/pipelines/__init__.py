"""What the programs do, step by step."""
