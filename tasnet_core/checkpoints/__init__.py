"""Networks and trainings in files: our checkpoints, safetensors, ONNX, and what toolkits saved.

`checkpoint.load` gives a trained network, whichever of them it comes from. What is read is data and
never code (`unpickle`), and fits its hyperparameters before anything of that size is built
(`weights`). Never trains.
"""
