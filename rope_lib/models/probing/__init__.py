"""Measuring an unknown rotation by calling it, naming what is found, and what it is not."""
