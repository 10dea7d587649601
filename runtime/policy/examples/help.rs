//! Prints what `gmp-record --policy help` prints, without building the recorder.

fn main() {
    print!("{}", gmp_policy::help());
}
