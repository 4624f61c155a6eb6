"""What the commands of this room do, once their options are read."""
