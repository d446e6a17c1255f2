"""One module for each command: its docstring is the help, ``add_arguments`` and ``run``."""
