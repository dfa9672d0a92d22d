"""What real models do: how each family rotates, and how its configuration says so."""
