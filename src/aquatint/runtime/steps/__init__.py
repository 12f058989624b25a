"""How the steps of a plan are carried out, each kind in a module of its own; in what order is the executor's affair."""
