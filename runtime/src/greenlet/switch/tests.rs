use super::After;
use crate::testing::everywhere;

#[test]
fn what_a_function_keeps_in_registers_survives_a_switch() {
    everywhere(|| {
        let greenlets = (0..8u64).map(|seed| {
            crate::spawn(move || {
                // More live values than there are registers of either kind, none of them a constant.
                let mut whole: [u64; 20] =
                    std::array::from_fn(|at| std::hint::black_box(seed * 100 + at as u64));
                let mut real: [f64; 20] =
                    std::array::from_fn(|at| std::hint::black_box((seed * 100 + at as u64) as f64));
                for _ in 0..100 {
                    crate::yield_now();
                    whole.iter_mut().for_each(|value| *value += 1);
                    real.iter_mut().for_each(|value| *value += 1.0);
                }
                for at in 0..20 {
                    assert_eq!(whole[at], seed * 100 + at as u64 + 100);
                    assert_eq!(real[at], (seed * 100 + at as u64 + 100) as f64);
                }
            })
        });
        crate::join_all(greenlets).into_iter().for_each(|ended| ended.unwrap());
    });
}

#[test]
fn a_stack_is_aligned_as_the_calling_convention_asks() {
    #[repr(align(16))]
    struct Aligned([u8; 16]);
    everywhere(|| {
        crate::spawn(|| {
            let here = std::hint::black_box(Aligned([1; 16]));
            assert_eq!(std::ptr::from_ref(&here).addr() % 16, 0);
            // Formatting a float uses aligned vector moves to and from the stack.
            assert_eq!(format!("{:.3}", std::hint::black_box(2.5f64)), "2.500");
            assert_eq!(here.0[15], 1);
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_backtrace_ends_at_the_bottom_of_the_stack() {
    everywhere(|| {
        let trace = crate::spawn(|| std::backtrace::Backtrace::force_capture().to_string()).join().unwrap();
        // Debug information of other profiles names the file, not the module.
        assert!(trace.contains("finish::main") || trace.contains("finish.rs"), "{trace}");
    });
}

#[cfg(all(target_arch = "x86_64", unix, not(greenhub_portable_switch)))]
#[test]
fn a_message_says_what_was_asked() {
    for after in [
        After::Yield,
        After::Await,
        After::Park { epoch: 0, user: false, masked: false },
        After::Park { epoch: 7, user: true, masked: false },
        After::Park { epoch: u32::MAX, user: false, masked: true },
        After::Park { epoch: u32::MAX, user: true, masked: true },
    ] {
        assert_eq!(After::from_message(after.into_message()), Some(after));
    }
}
