"""The reward lab: the same game paid in four ways, and what each way teaches."""
