use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use super::*;
use crate::time::Timestamp;

pub(super) const COLUMNS: &[&str] =
    &["id", "rank", "name", "tags", "made_at", "extra", "body", "weight", "done"];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| text.replace('\0', "")),
        "[,{}\"\\\\ a]{0,6}",
        prop_oneof![Just(""), Just("NULL"), Just("null"), Just("{}"), Just(" "), Just("é\u{1F600}\n\t")]
            .prop_map(str::to_owned),
    ]
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

/// A value and the query that gives it back.
fn echo() -> impl Strategy<Value = (&'static str, Value)> {
    let json = text().prop_map(|text| serde_json::json!({"a": [text, null, 1.5]}).to_string());
    prop_oneof![
        any::<bool>().prop_map(|value| ("echo_bool", value.into())),
        any::<i16>().prop_map(|value| ("echo_int2", Value::Int(value.into()))),
        any::<i32>().prop_map(|value| ("echo_int4", value.into())),
        any::<i64>().prop_map(|value| ("echo_int8", value.into())),
        proptest::num::f32::ANY
            .prop_filter("NaN", |value| !value.is_nan())
            .prop_map(|value| ("echo_float4", value.into())),
        proptest::num::f64::ANY
            .prop_filter("NaN", |value| !value.is_nan())
            .prop_map(|value| ("echo_float8", value.into())),
        text().prop_map(|value| ("echo_text", value.into())),
        text().prop_map(|value| ("echo_varchar", value.into())),
        id().prop_map(|value| ("echo_uuid", value.into())),
        time().prop_map(|value| ("echo_time", value.into())),
        json.prop_map(|value| ("echo_json", Value::Json(value))),
        vec(any::<u8>(), 0..40).prop_map(|value| ("echo_bytes", value.into())),
        vec(text(), 0..5).prop_map(|value| ("echo_texts", value.into())),
        vec(id(), 0..5).prop_map(|value| ("echo_uuids", value.into())),
        vec(any::<i64>(), 0..5).prop_map(|value| ("echo_ints", value.into())),
    ]
}

/// Runs `check` with many values; the runner of proptest does not know async.
fn for_all<S: Strategy>(cases: u32, strategy: &S, check: impl AsyncFn(S::Value)) {
    let runtime = tokio::runtime::Handle::current();
    let config = Cases { cases, failure_persistence: None, ..Cases::default() };
    tokio::task::block_in_place(|| {
        let checked = TestRunner::new(config).run(strategy, |value| {
            runtime.block_on(check(value));
            Ok(())
        });
        checked.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_as_they_went() {
    with_database(async |database| {
        let driver = database.narrow_driver().await;
        for_all(200, &vec(echo(), 1..8), async |pairs| {
            let statements =
                pairs.iter().map(|(query, value)| Statement::new(query).with("v", value.clone()));
            let rows = driver.read(statements.collect()).await.unwrap();
            let back: Vec<_> = rows.into_iter().flatten().map(|row| (row.query, row.values)).collect();
            let sent: Vec<_> = pairs.into_iter().map(|(query, value)| (query, vec![value])).collect();
            assert_eq!(back, sent);
        });
        for query in queries().names().into_iter().filter(|name| name.starts_with("echo_")) {
            // The registry hands out names that live as long as it does.
            let statement = Statement::new(query).with("v", Value::Null);
            assert_eq!(value(&driver, statement).await, Value::Null, "{query}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_bulk_writes_come_back_as_they_went() {
    let row = (vec(text(), 0..4), vec(id(), 0..4), vec(any::<i64>(), 0..4));
    with_database(async |database| {
        let driver = database.narrow_driver().await;
        for_all(150, &vec(row, 0..6), async |rows| {
            let rows: Vec<Vec<Value>> = rows
                .into_iter()
                .map(|(texts, ids, ints)| vec![texts.into(), ids.into(), ints.into()])
                .chain([vec![Value::Null, Value::Null, Value::Null]])
                .collect();
            let statement = Statement::bulk("bulk_lists", &["texts", "ids", "ints"], rows.clone());
            let back = driver.read(vec![statement]).await.unwrap().remove(0);
            assert_eq!(back.into_iter().map(|row| row.values).collect::<Vec<_>>(), rows);
        });
    })
    .await;
}

#[tokio::test]
async fn a_bulk_write_keeps_every_kind_of_cell() {
    let ids = IdSource::new(Arc::new(SystemClock));
    let mut rows: Vec<Vec<Value>> = (0..1000_i32)
        .map(|rank| {
            vec![
                ids.next::<Uuid>().into(),
                rank.into(),
                format!("thing {rank}, \"quoted\"").into(),
                vec![format!("tag {rank}"), "NULL".to_owned()].into(),
                Timestamp::from_millis(i64::from(rank)).into(),
                Value::Json(format!(r#"{{"rank":{rank}}}"#)),
                vec![0_u8, 255].into(),
                0.5_f32.into(),
                (rank % 2 == 0).into(),
            ]
        })
        .collect();
    let nulls = std::iter::repeat_n(Value::Null, COLUMNS.len() - 2);
    rows.push([ids.next::<Uuid>().into(), Value::Int(1000)].into_iter().chain(nulls).collect());
    with_database(async |database| {
        let driver = database.narrow_driver().await;
        let insert = Statement::bulk("things_insert", COLUMNS, rows.clone());
        let write = |_| Ok(((), vec![Statement::new("things_table")]));
        driver.transact(vec![], write).await.unwrap();
        driver.transact(vec![], |_| Ok(((), vec![insert]))).await.unwrap();
        let back = driver.read(vec![Statement::new("things_all")]).await.unwrap().remove(0);
        assert_eq!(back.into_iter().map(|row| row.values).collect::<Vec<_>>(), rows);
        let empty = Statement::bulk("things_insert", COLUMNS, vec![]);
        driver.transact(vec![], |_| Ok(((), vec![empty]))).await.unwrap();
        assert_eq!(value(&driver, Statement::new("things_count")).await, Value::Int(1001));
    })
    .await;
}

#[tokio::test]
async fn odd_values_can_be_read() {
    with_database(async |database| {
        let driver = database.narrow_driver().await;
        let mut rows = driver.read(vec![Statement::new("odd_values")]).await.unwrap();
        let mut values = rows.remove(0).remove(0).values;
        let Value::Float(nan) = values.remove(3) else { panic!("{values:?}") };
        assert!(nan.is_nan());
        let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        let expected = [
            Value::Float(12_345_678.875),
            Value::Float(-0.0001),
            Value::Float(1e20),
            Value::Float(0.0),
            // The sum of integers is an integer.
            Value::Int(55),
            Value::Time(Timestamp::from_micros(i64::MAX)),
            Value::Time(Timestamp::from_micros(i64::MIN)),
            texts(&["a", "b"]),
            texts(&["a", "b", "c", "d"]),
            Value::Uuids(vec![]),
            Value::Ints(vec![1, 2]),
            Value::Text("name".to_owned()),
            Value::Null,
            Value::Null,
        ];
        assert_eq!(values, expected);

        for number in [0.1, -123_456.789, 1e-9, 9_999_999_999.5, 10_000.0, 0.000_1] {
            let back = value(&driver, Statement::new("echo_numeric").with("v", number)).await;
            assert_eq!(back, Value::Float(number));
        }
        let jsonb = Statement::new("echo_jsonb").with("v", r#"{"b":1,"a":"é"}"#);
        assert_eq!(value(&driver, jsonb).await, Value::Json(r#"{"a":"é","b":1}"#.to_owned()));
        let members = Statement::new("members").with("wanted", vec![3_i64, 1, 9]);
        let rows = driver.read(vec![members]).await.unwrap().remove(0);
        assert_eq!(rows.into_iter().map(|mut row| row.int(0).unwrap()).collect::<Vec<_>>(), [1, 3]);
    })
    .await;
}

#[tokio::test]
async fn what_the_driver_cannot_read_or_send_is_named() {
    with_database(async |database| {
        let driver = database.narrow_driver().await;
        for (statement, complaint) in [
            (Statement::new("unknown_type"), "query unknown_type: no column may be of type interval"),
            (
                Statement::new("echo_uuid").with("v", true),
                "query echo_uuid, parameter v: it is a truth value, the query takes uuid",
            ),
        ] {
            let error = driver.read(vec![statement]).await.unwrap_err();
            assert_eq!(error.log_detail(), Some(complaint));
        }
        let error = driver.read(vec![Statement::new("echo_text").with("v", "a\0b")]).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Invalid);
        driver.ping().await.unwrap();
    })
    .await;
}
