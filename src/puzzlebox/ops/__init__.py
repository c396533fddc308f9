"""Mathematics: pure functions of arrays. Nothing here knows a world, a network or a file."""
