"""The interactive session: reading statements, its own commands, and what it can tell while one types."""
