def merge(ids, pair, new_id):
    merged = []
    open_left = False  # whether the last id could be the left half of a pair
    for id_ in ids:
        if open_left and (merged[-1], id_) == pair:
            merged[-1] = new_id
            open_left = False
        else:
            merged.append(id_)
            open_left = True
    return merged
