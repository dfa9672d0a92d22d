"""What only the chapters of the book use: attention and its rivals, data, figures, exercises."""
