"""What each command does, once its options are read: a file each, of the name of the file with the options."""
