"""What real models do: how each family turns, and how its configuration says so."""
