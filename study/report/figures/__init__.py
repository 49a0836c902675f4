"""The figures of a report: each is x_data(rows) → NamedTuple and draw_x(data, axes).

So tests look at numbers. `all.draw_all` draws every one; `style` has colours, type and axes;
`captions` the words. The only door to matplotlib.
"""
