def merge(ids, pair, new_id):
    ids = list(ids)
    i = 0
    while i < len(ids) - 1:
        if [ids[i], ids[i + 1]] == list(pair):
            ids[i : i + 2] = [new_id]
        i += 1
    return ids
