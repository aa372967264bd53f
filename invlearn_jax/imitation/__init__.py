"""Imitation: rewards and policies learned from demonstrations."""
