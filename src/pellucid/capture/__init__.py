"""Reading a model unchanged: its outline, its tape, its hooks."""
