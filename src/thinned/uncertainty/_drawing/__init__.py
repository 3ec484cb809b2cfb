"""How samples are drawn: which sites are on, which rows share a forward."""
