//! References to jobs, where the store is private to the process.

use samara_programs::values;

use crate::common::{builder, programs, wait};

#[test]
fn a_job_in_a_private_store_has_no_reference() {
    let executor = builder().build().unwrap();
    let job = wait(executor.map(programs(), values::answer, [(); 2])).unwrap();
    for error in [job.reference().unwrap_err(), job.task(1).reference().unwrap_err()] {
        assert_eq!(error.code(), "invalid");
        let text = error.to_string();
        assert!(text.contains("private to this process") && text.contains("Builder::store"));
    }
    assert_eq!(wait(job.values()).unwrap(), [42, 42]);
}
