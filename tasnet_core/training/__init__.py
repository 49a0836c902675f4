"""One variant trained by one recipe: `trainer.train` is an iterator of epochs that any interruption only pauses.

Batches, learning rates, slices trained together with the whole, recordings that lie on a GPU. Knows nothing of a study.
"""
