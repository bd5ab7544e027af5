"""Files of a directory as answers: which file a path means, what is said of it, and how its bytes get to the client."""
