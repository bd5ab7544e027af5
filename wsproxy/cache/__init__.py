"""A shared cache of answers (RFC 9111): what may be kept, for how long, where, and how it is given out again."""
