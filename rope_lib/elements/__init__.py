"""The figures that move, one module and one script each; ``rope_lib.interactive`` offers them."""
