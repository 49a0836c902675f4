"""Programs that are copied beside exported networks and run there, with numpy and onnxruntime.

They import nothing of this project and run on Python 3.10 and later.
"""
