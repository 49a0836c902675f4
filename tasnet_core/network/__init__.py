"""The network itself (`model`), its loss, and the smaller networks inside it (`slices`).

From the records and torch alone: no file, no corpus, no device.
"""
