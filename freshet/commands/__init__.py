"""The subcommands of `freshet`, one module for each group of them."""
