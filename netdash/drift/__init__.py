"""What an engine should have written against what is there. Pure."""
