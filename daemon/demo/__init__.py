"""The demo: real daemons, real cuts, programs that write meanwhile, and an account of every acknowledged write."""
