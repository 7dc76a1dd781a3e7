def lowest(scores, count):
    ranks = scores.argsort(dim=1).argsort(dim=1)
    return ranks < count
