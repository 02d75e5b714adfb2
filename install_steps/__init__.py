"""What an agent needs, in which order, and how we know that it is done."""
