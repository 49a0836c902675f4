"""One variant trained by one recipe: `trainer.train` iterates over its epochs.

It can be interrupted anywhere. `step` has what an epoch repeats; the others batches, learning
rates, sub-networks trained with the whole, recordings that lie on a GPU. Knows nothing of a study.
"""
