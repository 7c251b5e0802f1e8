// activity
