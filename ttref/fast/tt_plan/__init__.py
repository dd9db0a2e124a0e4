"""The order in which a batch is multiplied by a tensor train.

`plan` chooses the order, `work` says what it means for arrays of given shapes, and `merging` merges
neighbouring cores.
"""
