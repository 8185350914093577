"""The program that runs on a node. Standard library of Python 3.9; JSON in, JSON out."""
