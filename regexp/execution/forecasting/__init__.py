"""What runs will take, before they are trained: memory, time and the number of workers."""
