"""Learning: the shared loop and the loss of each learner."""
