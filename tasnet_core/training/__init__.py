"""One variant trained by one recipe: `trainer.train` iterates over epochs and can be interrupted.

Batches, learning rates, sub-networks trained with the whole, recordings that lie on a GPU. Knows
nothing of a study.
"""
