"""The figures that move, one module and one script each; see ``rope_lib.course.interactive``."""
