WRONG = {}
def table(names, seeds, start):
    return 0
