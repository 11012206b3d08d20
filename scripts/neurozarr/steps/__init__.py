"""The steps of a conversion: what each job does, between the files that it takes and leaves.

A module is named like the rule that it is for, and imports what that job needs and no more. An
image is published last, and unpublished before anything below it changes: whoever finds the
metadata of its group finds all of its levels, whole.
"""
