"""The commands of the command line, one module each: `add_parser` declares a command's options, `run` does its work."""
