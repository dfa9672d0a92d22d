"""The same rotation, faster on a CPU without a compiler.

The modules: ``passes``, which way is taken; ``blocks``, many numbers; ``few``, one token.
"""
