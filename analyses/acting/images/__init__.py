"""E2 and E3: choosing groups of classes to train on."""
