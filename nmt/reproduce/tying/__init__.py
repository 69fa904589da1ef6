"""What training.record_tying wrote down, over updates and seeds: does one role of a tied table drown the others?"""
