//! Archives that were made to harm, and folders that cannot be read in the ordinary way.
