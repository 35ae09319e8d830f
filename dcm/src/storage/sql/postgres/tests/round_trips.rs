use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::config::Host;

use super::*;
use crate::api::actions::ActionRecord;
use crate::engine::rules::{RecordAction, SendMessage};
use crate::storage::sql::SqlStore;
use crate::storage::{Batch, CommitStore, Submitted};

/// How often the client has begun to speak, after the server had.
#[derive(Default)]
struct Talk {
    round_trips: usize,
    is_client_speaking: bool,
}

/// Stands between client and server and listens to who speaks.
async fn eavesdrop(config: &Config, talk: Arc<Mutex<Talk>>) -> Config {
    let Host::Tcp(host) = &config.get_hosts()[0] else { panic!("DCM_TEST_POSTGRES must be a TCP address") };
    let server = (host.clone(), config.get_ports().first().copied().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = TcpStream::connect(server.clone()).await.unwrap().into_split();
            tokio::spawn(pass_on(from_client, to_server, Arc::clone(&talk), true));
            tokio::spawn(pass_on(from_server, to_client, Arc::clone(&talk), false));
        }
    });
    let mut detour = Config::new();
    detour.host("127.0.0.1").port(port).user(config.get_user().unwrap()).dbname(config.get_dbname().unwrap());
    if let Some(password) = config.get_password() {
        detour.password(password);
    }
    detour
}

async fn pass_on(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    talk: Arc<Mutex<Talk>>,
    is_client: bool,
) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        {
            let mut talk = talk.lock().unwrap();
            talk.round_trips += usize::from(is_client && !talk.is_client_speaking);
            talk.is_client_speaking = is_client;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_read_is_one_round_trip_and_a_transaction_that_loads_is_two() {
    with_database(async |database| {
        let talk = Arc::new(Mutex::new(Talk::default()));
        let config = eavesdrop(&database.config, Arc::clone(&talk)).await;
        let options = PostgresOptions { max_connections: 1, ..PostgresOptions::default() };
        let driver = PostgresDriver::connect_with(queries(), config, options).await.unwrap();
        driver.transact(vec![], |_| Ok(((), vec![Statement::new("things_table")]))).await.unwrap();
        let reads =
            || vec![Statement::new("ping"), Statement::new("things_count"), Statement::new("things_all")];
        let insert = |id: u128| {
            let row = vec![Uuid::from_u128(id).into(), Value::Int(1)];
            let nulls = std::iter::repeat_n(Value::Null, 7);
            Statement::bulk("things_insert", values::COLUMNS, vec![row.into_iter().chain(nulls).collect()])
        };
        for warm in [false, true] {
            let so_far = talk.lock().unwrap().round_trips;
            driver.read(reads()).await.unwrap();
            let after_read = talk.lock().unwrap().round_trips;
            let writes = vec![insert(u128::from(warm)), Statement::new("things_count")];
            driver.transact(reads(), move |_| Ok(((), writes))).await.unwrap();
            let after_write = talk.lock().unwrap().round_trips;
            let writes = vec![insert(2 + u128::from(warm)), Statement::new("things_count")];
            driver.transact(vec![], move |_| Ok(((), writes))).await.unwrap();
            let after_blind_write = talk.lock().unwrap().round_trips;
            if warm {
                assert_eq!((after_read - so_far, after_write - after_read), (1, 2));
                assert_eq!(after_blind_write - after_write, 1);
            }
        }
    })
    .await;
}

/// A message to somebody who is known and no type of an agent at work takes one round trip; when such an agent has come
/// meanwhile, it is decided again.
#[tokio::test]
async fn a_message_is_one_round_trip_while_nobody_of_that_type_is_at_work() {
    with_database(async |database| {
        let talk = Arc::new(Mutex::new(Talk::default()));
        let config = eavesdrop(&database.config, Arc::clone(&talk)).await;
        migrated(database).await;
        let options = PostgresOptions { max_connections: 1, ..PostgresOptions::default() };
        let store = SqlStore::new(PostgresDriver::connect(config, options).await.unwrap(), 3);
        let ids = IdSource::new(Arc::new(SystemClock));
        // What is known stays so for a time.
        let now = SystemClock.now();
        let round_trips_of = async |commands| {
            let so_far = talk.lock().unwrap().round_trips;
            let outcomes = store.commit(Batch::new(commands, now, ids.clone())).await.unwrap();
            for outcome in outcomes {
                drop(outcome.unwrap());
            }
            talk.lock().unwrap().round_trips - so_far
        };
        let message = || {
            let message = serde_json::json!({
                "from_agent": "planner", "to_agent": "tester", "topic": "workflow.progress", "content": {"n": 1}
            });
            let operation = serde_json::from_value(message).unwrap();
            Submitted::new(SendMessage { operation, default_ttl_ms: 60_000 }, None)
        };
        // An action of no session needs no look either, but what is written then is more than one statement.
        let action = || {
            let action = serde_json::json!({"tool_name": "Bash", "tool_type": "builtin"});
            let operation: ActionRecord = serde_json::from_value(action).unwrap();
            Submitted::new(RecordAction::from(operation), None)
        };
        let round_trips_of_a_message = async || round_trips_of(vec![message()]).await;
        let round_trips_of_both = async || round_trips_of(vec![message(), action()]).await;
        let channels_of_the_last_event = async || {
            let admin = database.client().await;
            let last = "select channels from events order by seq desc limit 1";
            admin.query_one(last, &[]).await.unwrap().get::<_, Vec<String>>(0)
        };
        let open = async |open: bool| {
            let admin = database.client().await;
            let change = if open {
                "insert into sessions (id) values ('s') on conflict do nothing; \
                 insert into subtasks (id, session_id, agent_type, agent_id, status, description) \
                 values (gen_random_uuid(), 's', 'tester', 'tester-7', 'running', 'test')"
            } else {
                "update subtasks set status = 'completed'"
            };
            admin.batch_execute(change).await.unwrap();
        };
        let own = "agents/tester-7".to_owned();

        // Nobody knows "tester", so that is looked for each time.
        round_trips_of_a_message().await;
        round_trips_of_a_message().await;
        assert_eq!(round_trips_of_a_message().await, 2);
        database.client().await.batch_execute("insert into sessions (id) values ('tester')").await.unwrap();
        assert_eq!(round_trips_of_a_message().await, 2, "found to be known");
        round_trips_of_a_message().await;
        assert_eq!(round_trips_of_a_message().await, 1, "known, and nobody of that type is at work");
        assert!(!channels_of_the_last_event().await.contains(&own));
        round_trips_of_both().await;
        assert_eq!(round_trips_of_both().await, 1);
        open(true).await;
        assert_eq!(round_trips_of_a_message().await, 3, "in vain, and again");
        assert!(channels_of_the_last_event().await.contains(&own));
        assert_eq!(round_trips_of_a_message().await, 2, "somebody is at work");
        assert!(channels_of_the_last_event().await.contains(&own));
        open(false).await;
        assert_eq!(round_trips_of_a_message().await, 2);
        assert!(!channels_of_the_last_event().await.contains(&own));
        assert_eq!(round_trips_of_a_message().await, 1);
        open(true).await;
        assert_eq!(round_trips_of_both().await, 3, "in vain, and again");
    })
    .await;
}
