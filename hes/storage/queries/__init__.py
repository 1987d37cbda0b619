"""
Reading back, one module per aggregate; every one of them bounds `captured_at` and uses keys.

`current` holds the one rule of which value of an instant is current; `ranges`, `latest` and
`balance` go through it. `changes` tells what has been committed, in an order that misses nothing.
"""
