def last_token(hidden, lengths):
    places = (lengths - 1)[:, None, None].expand(-1, 1, hidden.shape[2])
    return hidden.gather(1, places)[:, 0]
