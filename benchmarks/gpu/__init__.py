"""All that is to be known of a GPU, in one command and a few minutes (``python -m benchmarks.gpu``)."""
