"""Trained networks on their way to a device, and what that device measured on its way back.

A bundle of networks with a program that measures them, the file that it writes, and one network
with everything that whoever runs it needs. Trains nothing and draws nothing.
"""
